"""Bars from outside: files of venues and vendors, and their interfaces over the network."""
