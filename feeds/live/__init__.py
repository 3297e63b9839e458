"""What goes into and comes out of a live store without Flink."""
