"""Time: the only place with threads and clocks."""
