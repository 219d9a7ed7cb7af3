"""What the labelling interface calls its controls, and tasks and regions their values."""

PART, OBJECT, DISCARD, IMAGE = "part", "object", "discard", "image"
"""Names of the controls and of the picture in the labelling interface."""

BRUSH, POLYGON = "brush", "polygon"
"""Its tools; in projects of earlier versions lists of parts of their own."""

CLICK, BOX = "click", "box"
"""Its tools that ask a model; what they leave behind is no drawing."""

LABELS = {False: "labels", True: "brushlabels"}
"""Under which name a painted region has its label; by whether each tool has a list of parts."""

META, MODEL = "meta", "model"
"""Where a region says which model it came from, as an answer to a click or a box."""

TODO = "todo"
"""In the data of every task: what is to be done that nobody would see otherwise."""

FIRST = "first"
"""In the data of a task that is to be drawn before others: its place among them."""
