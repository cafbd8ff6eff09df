"""What is wrong with the installation as a whole: looked for by the dispatcher, told to administrators."""
