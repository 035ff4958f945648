"""The corpus of model directories that the doctor is held against: healthy ones, and ones ill in one way each.

Each module holds one noun: builders, and beside each of them what the doctor must say about the directory it makes.
None of them knows how the doctor works; they are written from the catalogue of findings, from the published
contract, and from what transformers, peft and safetensors do with the same directories.
"""
