"""`lair backup` and `lair restore`: everything that lair keeps, in one file and out of it."""
