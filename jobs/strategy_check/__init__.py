"""The rules that an own strategy and its features must keep, each tried on bars."""
