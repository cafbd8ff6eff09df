"""`make bench`: how long whole transfers take, beside the other ways to do the same on the same machine."""
