"""Compare encoders by the images they lead to, judged by a teacher.

    python -m guidedstyle.evaluation --teacher vgg19.safetensors --pair photo.jpg painting.jpg --out compared/

Every recipe, or pair of content and style, is rendered under the teacher and under each encoder at equal steps and
at equal time, and the teacher measures style and content of all of them. The table goes to the terminal, the
images and a contact sheet into the folder.
"""
