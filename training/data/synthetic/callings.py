"""Nouns that stand beside a value and are no part of it: "the player Serena Moss", "the Spring season".

Where a value begins and ends must be read from the sentence: with nothing but names and values in requests, a
model takes along whatever stands beside them.
"""

from __future__ import annotations

from .draw import Draw
from .kinds import Copy, Piece

_BEFORE: dict[str, tuple[str, ...]] = {
    "person": ("actor", "player", "Mr.", "user", "colleague", "professor", "employee", "client", "my friend"),
    "athletes": ("player", "athlete", "footballer", "basketball player", "tennis player", "swimmer", "star"),
    "scientists": ("scientist", "physicist", "the famous scientist", "researcher", "chemist"),
    "painters": ("painter", "the artist", "the old master"),
    "artists": ("singer", "the band", "artist", "musician", "the group"),
    "rulers": ("ruler", "the ruler", "monarch", "emperor"),
    "cities": ("the city of", "city", "the town of", "beautiful", "sunny"),
    "city": ("the city of", "city", "the town of", "beautiful", "cold"),
    "place": ("the area of", "beautiful", "the famous"),
    "places": ("the area around", "the famous"),
    "monuments": ("the famous", "the building", "the landmark"),
    "countryname": ("the country", "the nation of", "the state of"),
    "companies": ("the company", "company", "the firm", "tech company", "the retailer", "the brand"),
    "tickers": ("ticker", "the stock", "symbol", "the ticker symbol"),
    "crypto": ("the coin", "the currency", "cryptocurrency"),
    "movies": ("the movie", "movie", "the film", "film", "the classic"),
    "books": ("the book", "the novel", "book", "novel", "the bestseller"),
    "songs": ("the song", "song", "the track", "the hit"),
    "games": ("the game", "video game", "the video game", "the board game", "game"),
    "paintings": ("the painting", "painting", "the artwork"),
    "sculptures": ("the sculpture", "the statue", "sculpture"),
    "teams": ("the team", "team", "the club", "the football club"),
    "leagues": ("the league", "league"),
    "tournaments": ("the tournament", "tournament", "the championship"),
    "products": ("the product", "product", "the new", "the item"),
    "restaurants": ("the restaurant", "restaurant", "the cafe"),
    "hotels": ("the hotel", "the luxury hotel", "hotel"),
    "airlines": ("the airline", "airline"),
    "airports": ("the airport", "airport"),
    "cars": ("the car", "the model", "an old"),
    "elements": ("the element", "element", "pure"),
    "compounds": ("the compound", "compound", "the chemical", "the substance"),
    "medicines": ("the drug", "the medicine", "drug"),
    "diseases": ("the disease", "the condition"),
    "genes": ("the gene", "gene"),
    "proteins": ("the protein", "protein"),
    "species": ("the species", "species"),
    "animals": ("the animal", "a wild", "an adult"),
    "plants": ("the plant", "a young"),
    "planets": ("the planet", "planet"),
    "stars": ("the star", "star"),
    "rivers": ("the river", "river"),
    "mountains": ("the mountain", "the peak"),
    "lakes": ("the lake",),
    "islands": ("the island", "the island of"),
    "wars": ("the conflict", "the"),
    "events": ("the event",),
    "inventions": ("the invention", "the"),
    "languagenames": ("the language",),
    "dishes": ("a plate of", "the dish", "some", "homemade"),
    "foods": ("fresh", "some", "raw"),
    "rooms": ("the",),
    "materials": ("the material", "pure", "solid"),
    "topics": ("the topic", "the subject of", "the field of"),
    "jobs": ("a", "the profession of", "an experienced"),
    "cases": ("the case", "case"),
    "courts": ("the court",),
    "datasets": ("the dataset", "dataset", "the data set"),
    "columnsx": ("the column", "column", "the variable", "variable"),
    "columns": ("the column", "column", "the field"),
    "tables": ("the table", "table", "the database table"),
    "id": ("number", "no.", "ID", "#", "No"),
    "email": ("the address", "my e-mail"),
    "url": ("the page", "the site", "the website"),
    "formula": ("the expression", "the function", "function"),
    "equation": ("the equation", "equation"),
    "dna": ("the sequence", "sequence"),
    "title": ("the title", "something like"),
    "username": ("user", "the account", "the user"),
    "version": ("version", "release"),
    "flightno": ("flight", "flight number"),
}
_BEHIND: dict[str, tuple[str, ...]] = {
    "cities": ("city", "area", "region"),
    "city": ("city", "area"),
    "teams": ("team", "squad"),
    "leagues": ("season", "league"),
    "cuisines": ("restaurant", "food", "cuisine", "dishes", "place"),
    "genres": ("music", "genre", "songs"),
    "sports": ("game", "match", "event"),
    "companies": ("company", "products", "stock"),
    "tickers": ("stock", "shares"),
    "crypto": ("coins",),
    "movies": ("movie", "film"),
    "books": ("book",),
    "games": ("game",),
    "songs": ("song",),
    "models": ("model",),
    "artstyles": ("style", "movement"),
    "colors": ("color", "paint", "tone"),
    "materials": ("material", "surface"),
    "languagenames": ("language",),
    "diseases": ("disease",),
    "medicines": ("tablets",),
    "columnsx": ("column", "variable"),
    "tables": ("table",),
    "datasets": ("dataset", "data"),
    "hotels": ("hotel",),
    "restaurants": ("restaurant",),
    "products": ("product",),
    "topics": ("topic", "field"),
    "airlines": ("flight",),
    "jobs": ("job", "position"),
    "elements": ("atoms",),
    "compounds": ("solution",),
    "diets": ("diet", "recipe", "options"),
    "instruments": ("lessons",),
    "species": ("population", "species"),
    "animals": ("population",),
    "month": ("period",),
}
SHARE = 0.2
"""How often a value that has such a noun gets one."""


def called(draw: Draw, kind: str, pieces: list[Piece]) -> list[Piece]:
    """The same value, at times beside a noun for what it is."""
    if not draw.chance(SHARE) or not any(isinstance(piece, Copy) for piece in pieces):
        return pieces
    before, behind = _BEFORE.get(kind), _BEHIND.get(kind)
    if before and (not behind or draw.chance(0.6)):
        noun = draw.pick(before)
        return [f"{noun}{'' if noun == '#' else ' '}", *pieces]
    if behind:
        return [*pieces, f" {draw.pick(behind)}"]
    return pieces


def takes_article(kind: str) -> bool:
    """Whether values of the kind are adjectives: "an Italian restaurant", "a wooden table"."""
    return kind in _ADJECTIVES


_ADJECTIVES = frozenset("cuisines genres colors materials diets artstyles enum sports".split())
