"""Live emotion: from a microphone, or a file played as if it were one, to one result per hop.

microphone ─ ring ─┐
                   ├─ native frames ─ mono 16 kHz ─ windows ─ student ─ smoothing ─ hops ─ screen, lines, commands
file ─ replay ─────┘        └─ recording    └─ speech gate ─────────────────┘
"""
