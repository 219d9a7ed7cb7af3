"""The training kernel: what every training of ours shares, whatever it trains.

Process groups, runs that go on exactly where they were killed, run folders, checkpoints and
precision. Torch lives here, and nothing else in `partlab` imports this package; `process`,
`settings`, `runs` and `identity` can be imported without torch.
"""
