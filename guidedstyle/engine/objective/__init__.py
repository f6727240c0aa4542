"""The objective of one stage: canvas, guides, style terms, losses."""
