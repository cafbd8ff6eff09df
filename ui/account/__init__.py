"""The pages before somebody is signed in: plain HTML forms for signing in, registering and passwords."""
