"""The budget, as AWS tells it and as Terraform made it, in one form: two that are the same compare equal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# of a notification: when, of what, and by which measure
Notice = tuple[str, str, str, float, frozenset[str]]


def counted(budget: Mapping[str, Any]) -> tuple[object, ...]:
    """What AWS's budget counts, and up to which sum."""
    limit = budget.get("BudgetLimit") or {}
    return (
        budget.get("BudgetType"),
        budget.get("TimeUnit"),
        float(limit.get("Amount") or 0),
        limit.get("Unit"),
        # a budget of one service says nothing of what the others cost
        {name: sorted(values) for name, values in (budget.get("CostFilters") or {}).items()},
        bool(budget.get("FilterExpression")),
    )


def counted_made(budget: Mapping[str, Any]) -> tuple[object, ...]:
    """The same of Terraform's."""
    return (
        budget.get("budget_type"),
        budget.get("time_unit"),
        float(budget.get("limit_amount") or 0),
        budget.get("limit_unit"),
        {each["name"]: sorted(each["values"]) for each in budget.get("cost_filter") or ()},
        bool(budget.get("filter_expression")),
    )


def notices(told: Iterable[tuple[Mapping[str, Any], Sequence[Mapping[str, str]]]]) -> set[Notice]:
    """Of each notification of AWS's, with its subscribers: when it comes, and to whom."""
    return {
        (
            each.get("NotificationType", ""),
            each.get("ComparisonOperator", ""),
            each.get("ThresholdType") or "PERCENTAGE",
            float(each["Threshold"]),
            frozenset(subscriber["Address"] for subscriber in subscribers),
        )
        for each, subscribers in told
    }


def notices_made(budget: Mapping[str, Any]) -> set[Notice]:
    """The same of Terraform's."""
    return {
        (
            each.get("notification_type") or "",
            each.get("comparison_operator") or "",
            each.get("threshold_type") or "PERCENTAGE",
            float(each["threshold"]),
            frozenset(
                [
                    *(each.get("subscriber_email_addresses") or ()),
                    *(each.get("subscriber_sns_topic_arns") or ()),
                ]
            ),
        )
        for each in budget.get("notification") or ()
    }
