"""Which of some texts are the most like another: TF-IDF weights, and the cosine between them."""

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def likest(query: str, texts: Sequence[str], most: int) -> list[int]:
    """Return the places of the texts that are the most like the query, the likest first; of equals the first one.

    A word weighs the more, the fewer of the texts have it. A text that shares no word with the query is left out.
    """
    bags = [_words(text) for text in texts]
    among = Counter(word for bag in bags for word in bag)
    # Plus one, so that a word that all of them have still counts.
    weights = {word: math.log(len(texts) / count) + 1 for word, count in among.items()}
    wanted = {word: count * weights[word] for word, count in _words(query).items() if word in weights}
    found = []
    for place, bag in enumerate(bags):
        product = sum(weight * bag[word] * weights[word] for word, weight in wanted.items() if word in bag)
        if product:  # the query's own length is the same for all of them
            length = math.sqrt(sum((count * weights[word]) ** 2 for word, count in bag.items()))
            found.append((-round(product / length, 9), place))
    return [place for _likeness, place in sorted(found)[:most]]


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.casefold()))
