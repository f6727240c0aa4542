"""Measure quality and speed: `guidedstyle evaluate` and `guidedstyle bench`.

`comparison` renders recipes, or pairs of a content and a style image, with an encoder and with its teacher, in equal
steps and in equal time; `judge` measures the style and content distances of all results under the teacher, and
their grid artefacts. `bench` measures the time and memory of a step on this machine.
"""
