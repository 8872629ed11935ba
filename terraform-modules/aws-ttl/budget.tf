# Counts the whole account: a filter by tag works only once somebody has activated the tag for billing.
resource "aws_budgets_budget" "this" {
  name         = "zave-budget-${local.here}"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.budget.usd)
  limit_unit   = "USD"

  dynamic "notification" {
    for_each = toset([for percent in var.budget.alerts : tostring(percent)])

    content {
      notification_type          = "ACTUAL"
      comparison_operator        = "GREATER_THAN"
      threshold                  = tonumber(notification.key)
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = [var.email]
    }
  }

  tags = { Name = "zave-budget-${local.account}" }
}
