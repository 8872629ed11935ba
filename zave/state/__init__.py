"""What zave remembers: the state directory, `state.db` and the lock of each instance.

Nothing is imported here, because fifty processes that contend for a lock need `zave.state.lock`
alone, and that within milliseconds.
"""
