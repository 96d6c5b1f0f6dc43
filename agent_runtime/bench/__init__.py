"""`smolcall bench`: ways to write a call, side by side on the same weights.

`command.py` is the command and `run.py` one run of it; `measure.py` puts the questions to every row in turn.
`generate_rows.py` are the rows a user of transformers has today, `runtime_rows.py` ours; `questions.py` is
what is asked, `models.py` on which weights; `report.py` is what comes out, `table.py` and `plot.py` show it.
Grammars of others and the plot need the extra `bench`.
"""
