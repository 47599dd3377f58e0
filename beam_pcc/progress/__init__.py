"""Shows how far a command is: a bar on a terminal, lines in the log elsewhere, nothing where nobody wants it.

    with progress.task("encoding", total=len(texts), unit="messages") as step:
        step.advance(100)

A task costs nothing per row: count in batches. Nothing is shown of a command that ends within two seconds.
"""

from beam_pcc.progress.counting import Counts, counts
from beam_pcc.progress.tasks import Measured, Task, shown, task
from beam_pcc.progress.views import Mode, chosen_mode

__all__ = ["Counts", "Measured", "Mode", "Task", "chosen_mode", "counts", "shown", "task"]
