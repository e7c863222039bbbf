"""What the operator is measured against: programs that do the same job in the simplest way that works."""
