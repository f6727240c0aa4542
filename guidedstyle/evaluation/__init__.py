"""Measure quality and speed: `guidedstyle evaluate` and `guidedstyle bench`.

`comparison` renders recipes, or pairs of a content and a style image, with an encoder and with its teacher, in equal
steps and in equal time; `judge` measures the style and content distances of all results under the teacher, and
their grid artefacts; `second_judge` measures their style distances under SqueezeNet, which no student is trained to
resemble. `bench` measures the time and memory of a step on this machine.
"""
