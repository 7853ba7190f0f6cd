"""The only code that touches Linux, and (in sim/) the same interface without Linux."""
