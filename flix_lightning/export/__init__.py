"""Trained adapters in the formats that others load: PEFT LoRA folders, merged models, the bank as one file."""
