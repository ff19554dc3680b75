"""What a change in git does, node by node: findings in the operator's words, each with the risks it carries."""
