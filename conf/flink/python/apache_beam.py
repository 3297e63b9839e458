"""Stands in front of Apache Beam in the Python of local runs, which never use it.

PyFlink tries to import Beam for its process mode and goes on without it when that fails. The
import takes 0.8 s of processor time, in the client and again inside the JVM, of a start of 3 s.
"""

raise ImportError("Flink's thread mode needs no Apache Beam")
