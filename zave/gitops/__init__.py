"""The GitOps tree: what Flux finds in the repository."""
