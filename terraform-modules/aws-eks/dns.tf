# The rights of external-dns, which comes by GitOps and writes the names of Services: in one hosted zone, names of
# one domain. Its published policy (kubernetes-sigs/external-dns, docs/tutorials/aws.md, read 2026-11-23) lets it
# into every zone; it also asks for tags of zones, which its code at v0.21.0 needs for a filter by tag alone.

locals {
  dns = var.dns == null ? 0 : 1
  # beside each name it keeps a TXT record about whose it is: at the name itself for names below the domain, but
  # for the domain's own at a sister of it (its docs/registry/txt.md at v0.21.0)
  dns_kinds = ["a", "aaaa", "cname"]
  dns_names = flatten([
    for domain in var.dns[*].domain : [domain, "*.${domain}", [for kind in local.dns_kinds : "${kind}-${domain}"]]
  ])
  dns_zones = [for zone in var.dns[*].zone_id : "arn:${data.aws_partition.current.partition}:route53:::hostedzone/${zone}"]
}

resource "aws_iam_role" "dns" {
  count = local.dns

  name               = "${local.prefix}-dns"
  path               = local.iam_path
  assume_role_policy = local.pod_trust

  tags = { Name = "${local.prefix}-dns" }
}

resource "aws_iam_role_policy" "dns" {
  #checkov:skip=CKV_AWS_355:the list of zones takes no resource
  count = local.dns

  name = "name"
  role = aws_iam_role.dns[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # it looks for its zone in the list of all, by name and ID
        Sid      = "ListZones"
        Effect   = "Allow"
        Resource = "*"
        Action   = "route53:ListHostedZones"
      },
      {
        Sid      = "Look"
        Effect   = "Allow"
        Resource = local.dns_zones
        Action   = "route53:ListResourceRecordSets"
      },
      {
        Sid      = "Write"
        Effect   = "Allow"
        Resource = local.dns_zones
        Action   = "route53:ChangeResourceRecordSets"
        # each change of a batch must match (Route 53 developer guide, "Using IAM policy conditions for
        # fine-grained access control": names without a last dot, `*` as \052)
        Condition = {
          "ForAllValues:StringLike" = { "route53:ChangeResourceRecordSetsNormalizedRecordNames" = local.dns_names }
          "ForAllValues:StringEquals" = {
            "route53:ChangeResourceRecordSetsActions"     = ["CREATE", "DELETE", "UPSERT"]
            "route53:ChangeResourceRecordSetsRecordTypes" = ["A", "AAAA", "CNAME", "TXT"]
          }
        }
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "dns" {
  count = local.dns

  cluster_name    = aws_eks_cluster.this.name
  namespace       = "external-dns"
  service_account = "external-dns"
  role_arn        = aws_iam_role.dns[0].arn

  tags = { Name = "${local.prefix}-dns-identity" }
}
