"""The rules of a work: what may happen in which state, and what it changes.

    planned -> annotating -> submitted -> sampled -> accepted | rejected -> planned (next round)

A batch whose assignee is replaced after answers came in is "abandoned" and planned afresh.
Each rule applies one kind of event; live work and a rebuild run the same code.
"""

from annotate.work import amending, drawing, inspecting, serving

RULES = {
    **drawing.rules.apply,
    **inspecting.rules.apply,
    **amending.rules.apply,
    **serving.rules.apply,
}
"""By the kind of event."""
