"""How much disagreement `partlab data check` lets pass."""

from pydantic import Field

from partlab.config import Config


class CheckSettings(Config):
    """Tolerances; pixels of the image as stated."""

    bounds_pixels: float = Field(1.0, ge=0, description="how far a polygon may leave its image")
    edge_pixels: int = Field(2, ge=0, description="half width of a border two parts may share")
    overlap_fraction: float = Field(
        0.5, gt=0, le=1, description="a smaller part overlapped this much is one even if thin"
    )
    area_fraction: float = Field(0.05, ge=0, description="polygons: stated area off by this share")
    area_edge: float = Field(3.0, ge=0, description="polygons: or by this often the half perimeter")
    box_pixels: float = Field(3.0, ge=0, description="polygons: stated box off by this many pixels")
    coverage: float = Field(0.9, ge=0, le=1, description="share of an object its parts must cover")
    human_only: bool = Field(False, description="no mask may come from a model (D-05)")
    swapped_masks: int = Field(1, ge=1, description="masks of each part needed to compare sizes")
