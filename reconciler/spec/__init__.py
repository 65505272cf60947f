"""What people write: sandboxes and the policy, their fields, units and mistakes."""
