"""How long each stage of a job takes from commit to commit, with asv (``pip install asv``), from the project's folder.

    asv machine --yes --config benchmarks/asv.conf.json               # once
    asv run --config benchmarks/asv.conf.json HEAD~5..HEAD            # in environments of its own
    asv run --config benchmarks/asv.conf.json --python=same --quick   # what is installed here
    asv publish --config benchmarks/asv.conf.json                     # as a web page

What a bar is held against stands in the programs beside this folder, as ratios; here no time is right or wrong.
"""
