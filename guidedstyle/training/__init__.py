"""Make an encoder like the embedded one: a small network that sees as a larger one does.

    python -m guidedstyle.distil --images photos/ --teacher vgg19.safetensors --out mine.safetensors

The student begins as the teacher's most telling channels and filters, found by least squares (`reduction`). It
is then trained to predict the teacher's features and Gram matrices, on images and on what itself paints from
them (`training`, `pool`): so the solver finds no blind spots in it.
"""
