"""Header spaces: sets of packets as unions of boxes, with exact intersection and subtraction.

Each dimension (a header field, or a condition that holds or not) has a few atoms: the largest
parts of it that no condition in use tells apart. A box is a bit mask of atoms a dimension; what it
does not name may be anything. Boxes of one space never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

Box = Mapping[str, int]
Space = tuple[Box, ...]

EVERYTHING: Space = ({},)
NOTHING: Space = ()


class Dimensions:
    """How many atoms each dimension has; a dimension that is not named has two: no and yes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._full = {name: (1 << size) - 1 for name, size in sizes.items()}

    def full(self, name: str) -> int:
        """Return the mask of all atoms."""
        return self._full.get(name, 3)

    def meet(self, left: Box, right: Box) -> Box | None:
        """Return the packets in both boxes, None where there are none."""
        found = dict(left)
        for name, mask in right.items():
            both = found.get(name, self.full(name)) & mask
            if not both:
                return None
            found[name] = both
        return found

    def apart(self, left: Box, right: Box) -> bool:
        """Return whether the boxes share no packet."""
        if len(right) < len(left):
            left, right = right, left
        return any(not mask & right.get(name, mask) for name, mask in left.items())

    def without(self, box: Box, other: Box) -> Iterator[Box]:
        """Yield disjoint boxes that hold the packets of ``box`` which are not in ``other``."""
        if self.apart(box, other):
            yield box
            return
        rest = dict(box)
        for name, mask in other.items():
            own = rest.get(name, self.full(name))
            outside = own & ~mask
            if outside:
                yield {**rest, name: outside}
                rest[name] = own & mask

    def both(self, left: Space, right: Iterable[Box]) -> Space:
        """Return the packets in both spaces."""
        right = tuple(right)
        met = (self.meet(one, other) for one in left for other in right if not self.apart(one, other))
        return tuple(box for box in met if box is not None)

    def subtract(self, left: Space, right: Iterable[Box]) -> Space:
        """Return the packets of ``left`` that are not in ``right``."""
        right = tuple(right)
        return tuple(piece for box in left for piece in self._minus(box, right))

    def _minus(self, box: Box, right: tuple[Box, ...]) -> Space:
        pieces: Space = (box,)
        for other in right:
            if not self.apart(box, other):
                pieces = tuple(rest for piece in pieces for rest in self.without(piece, other))
                if not pieces:
                    break
        return pieces

    def unite(self, left: Space, right: Space) -> Space:
        """Return the packets in either space; boxes of the result do not overlap."""
        return (*left, *self.subtract(right, left))

    def merged(self, space: Space) -> Space:
        """Return the same packets in fewer boxes: those that differ in one dimension only become one."""
        boxes = [self._tidy(box) for box in space]
        merging = True
        while merging:
            merging = False
            for index, box in enumerate(boxes):
                partner = next(
                    (at for at in range(index + 1, len(boxes)) if self._joins(box, boxes[at])), None
                )
                if partner is not None:
                    boxes[index] = self._tidy(self._joined(box, boxes.pop(partner)))
                    merging = True
                    break
        return tuple(boxes)

    def _tidy(self, box: Box) -> Box:
        return {name: mask for name, mask in box.items() if mask != self.full(name)}

    def _differing(self, left: Box, right: Box) -> list[str]:
        names = left.keys() | right.keys()
        return [name for name in names if left.get(name, self.full(name)) != right.get(name, self.full(name))]

    def _joins(self, left: Box, right: Box) -> bool:
        return len(self._differing(left, right)) <= 1

    def _joined(self, left: Box, right: Box) -> Box:
        found = dict(left)
        for name in self._differing(left, right):
            found[name] = left.get(name, self.full(name)) | right.get(name, self.full(name))
        return found
