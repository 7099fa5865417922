"""The simulated prefix cache: which leading blocks of a prompt some earlier request has already computed."""

from collections import OrderedDict
from collections.abc import Sequence


class PrefixCache:
    """Blocks of tokens, chained by hash from the start of the prompt, kept by last use within a bound of tokens.

    The salt is part of the chain's first link, so requests of different salts never share a block.
    """

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self.queries_total = 0
        self.hits_total = 0

    def match(self, chain: Sequence[int], prompt_tokens: int, block_tokens: int) -> int:
        """Tokens of the prompt found here. The last prompt token is always computed, as vLLM needs its logits."""
        found = 0
        usable = (prompt_tokens - 1) // block_tokens
        for link in chain[:usable]:
            if link not in self._blocks:
                break
            self._blocks.move_to_end(link)
            found += 1
        self.queries_total += prompt_tokens
        self.hits_total += found * block_tokens
        return found * block_tokens

    def insert(self, chain: Sequence[int], blocks_max: int) -> None:
        """Remembers the blocks and drops those unused for longest beyond the bound."""
        blocks = self._blocks
        for link in chain:
            blocks[link] = None
            blocks.move_to_end(link)
        while len(blocks) > blocks_max:
            blocks.popitem(last=False)

    def clear(self) -> None:
        """Forgets all blocks; the totals stay, as counters do."""
        self._blocks.clear()

    def __len__(self) -> int:
        return len(self._blocks)


def chain_of(tokens: Sequence[str], salt: str, block_tokens: int) -> list[int]:
    """One hash per whole block, each over its tokens and the hash before it."""
    link = hash(("salt", salt))
    chain: list[int] = []
    for start in range(0, len(tokens) - block_tokens + 1, block_tokens):
        link = hash((link, tuple(tokens[start : start + block_tokens])))
        chain.append(link)
    return chain
