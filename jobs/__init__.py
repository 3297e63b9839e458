"""The Flink jobs, and the composition of stages that they share with the local runner."""
