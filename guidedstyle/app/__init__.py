"""The verbs: render, sweep, watch, doctor, new. They return, raise or report, and never print."""
