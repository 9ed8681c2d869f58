"""The numbers behind each figure: one module per figure, named as the figure, each with a function ``table``.

``table`` takes the figure's stores (paths, as keyword arguments) and returns a tidy data frame, which is written as the
figure's CSV file. The drawing functions of :mod:`v4egg.figures` and the summary of a run read these tables and compute
nothing themselves.
"""
