"""Train encoders: `guidedstyle train distil` makes a small network that replaces a large one.

The student starts from the teacher's most informative channels and filters, found by least squares (`reduction`).
It is then trained to predict the teacher's features and Gram matrices (`distil`), both on crops of images (`data`)
and on images optimised under the student itself (`pool`), so that an optimiser cannot exploit its blind spots.
"""
