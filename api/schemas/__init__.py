"""What goes over the wire: requests, which refuse unknown fields, and answers."""
