"""Model help for annotators: from clicks and boxes in a picture to the mask of a part."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from segmenter.prompt.choose import prompter_of
    from segmenter.prompt.prompts import Click, PromptAnswer, Prompter, Prompts

__all__ = ["Click", "PromptAnswer", "Prompter", "Prompts", "prompter_of"]
__getattr__, __dir__ = room(
    __name__,
    {
        "Click": "segmenter.prompt.prompts",
        "PromptAnswer": "segmenter.prompt.prompts",
        "Prompter": "segmenter.prompt.prompts",
        "Prompts": "segmenter.prompt.prompts",
        "prompter_of": "segmenter.prompt.choose",
    },
)
