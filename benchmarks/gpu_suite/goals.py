"""What a run is held to. A goal that no part measured says so in the report."""

SHARE_OF_PRODUCTS = 0.75
EXTRA_MEGABYTES = 300
SHARE_OF_COPY = 0.80
LOSS_DIFFERENCE = 1e-4
COMPARED_LOSSES = 20
NLL_DIFFERENCE = 0.005
# Stage 1 of the attention kernels: TFLOP/s at head size 128 with long documents.
FORWARD_TERAFLOPS = 270
BACKWARD_TERAFLOPS = 220

GOALS = {
    "parity": ("parity and repeats on the GPU", "every test passes"),
    "agreement": (
        "the interpreter of tests/ptx beside the GPU",
        "the same bits, or errors within the rule where kernels approximate",
    ),
    "sanitizer": ("memcheck, racecheck, initcheck, synccheck on small shapes", "clean"),
    "attention_forward": (
        "attention forward, head size 128, documents of 8k and 16k",
        f">= {FORWARD_TERAFLOPS} TFLOP/s",
    ),
    "attention_backward": (
        "attention backward, likewise",
        f">= {BACKWARD_TERAFLOPS} TFLOP/s",
    ),
    "attention_mix": (
        "attention on the mix, both directions and head sizes, beside PyTorch's flash",
        "ahead",
    ),
    "cross_entropy": (
        "cross-entropy with projection, share of its three products",
        f">= {100 * SHARE_OF_PRODUCTS:.0f} % in all shapes",
    ),
    "cross_entropy_memory": (
        "its peak extra memory",
        f"<= {EXTRA_MEGABYTES} MB",
    ),
    "memory_bound": (
        "memory-bound kernels at width >= 1,024, share of copy bandwidth",
        f">= {100 * SHARE_OF_COPY:.0f} % each",
    ),
    "training_steps": (
        "training tokens/s beside compiled PyTorch with its best packed attention",
        ">= 1 at each size",
    ),
    "losses": (
        f"first {COMPARED_LOSSES} losses, GPU fp32 beside CPU fp32",
        f"within {LOSS_DIFFERENCE:.0e} relative",
    ),
    "held_out": (
        "held-out NLL, GPU bf16 beside CPU fp32",
        f"within {100 * NLL_DIFFERENCE:.1f} %",
    ),
    "resume": ("killed (-9) and resumed on the GPU", "the same bits"),
}
