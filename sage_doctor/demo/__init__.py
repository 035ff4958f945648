"""The incident this tool was made for, played with a real model on any machine: broken, diagnosed, cured, checked.

`smollm2` makes the real base model, `adapter/` is a real LoRA adapter (`tools/train_adapter.py` made it), `incident`
lays the broken directories out, `walk` plays the story and asserts every step of it.
"""
