"""What makes files of this repository from others. Never part of the operator."""
