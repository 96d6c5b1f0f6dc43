"""How backbones and heads are made and measured: data, recipes, training, evaluation.

Run it as `python -m training`. Nothing here is needed to serve a model.
"""
