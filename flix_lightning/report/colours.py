"""One colour for each method in all pictures: Okabe and Ito's palette, for colour-blind readers too."""

PALETTE = {
    "FLix": "#0072B2",
    "FLix (paper's dropout)": "#0072B2",
    "FLix (dropout of 0.3)": "#000000",
    "FLix (languages dropped)": "#CC79A7",
    "compute-matched LoRA": "#E69F00",
    "param-matched LoRA": "#D55E00",
    "LoRA for each dataset": "#009E73",
    "FLix + shared feature": "#56B4E9",
}
OTHER = "#7F7F7F"


def colour(method: str) -> str:
    return PALETTE.get(method, OTHER)
