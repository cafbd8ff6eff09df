"""`adit doctor`: looks at everything that can be looked at, and says of what is wrong how it is put right."""
