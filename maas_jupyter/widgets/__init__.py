"""What results look like in a notebook: HTML with a text twin, still there when the notebook is reopened.

Drawn for light and dark pages: text takes the page's own colour, pictures bring their own ground.
"""
