"""Things people say that need no tool, or that no tool at hand can do."""

from __future__ import annotations

from . import words as w
from .draw import Draw
from .naming import plural

OUT_OF_REACH = (
    "Who won the last election in {country}?",
    "What is the tallest mountain in {country}?",
    "How do I tie a tie?",
    "Can you paint my {room}?",
    "Write a poem about {topic}.",
    "Give me tips for a job interview as a {job}.",
    "Explain {topic} to a child.",
    "What should I name my {animal}?",
    "Is it better to rent or to buy?",
    "How many {animal}s live in {country}?",
    "Why is the sky blue?",
    "What are the health benefits of {food}?",
    "Which team won the championship in {year}?",
    "What is the best way to learn {language}?",
    "Compose a melody in the style of {artist}.",
    "How old is {artist}?",
    "What did {person} say yesterday?",
    "Do my laundry.",
    "Who discovered {element}?",
    "Please hand me the {product}.",
    "What is the meaning of life?",
    "Recommend me a good book about {topic}.",
    "How long do {animal}s live?",
    "Tell me the story of {event}.",
    "When will it be cheaper to buy a {product}?",
    "Can you lend me {number} dollars?",
    "What is your opinion on {topic}?",
    "Is {company} a good employer?",
    "Draft a cover letter for a {job}.",
    "What does the logo of {company} look like?",
    "How many calories are in a {dish}?",
    "Find my {product}, I lost it in the {room}.",
    "What is the chemical symbol of {element}?",
    "What is the fastest {animal}?",
    "How tall was {person}?",
    "Who painted the ceiling of the chapel?",
    "Teach me to play the {instrument}.",
    "Which {instrument} is easiest to learn?",
    "What is the history of {sport}?",
    "How do plants like {plant} reproduce?",
    "What are the rules of {sport}?",
    "How was {city} founded?",
    "What language do they speak in {country}?",
    "What's the plot of a typical opera?",
    "Can you fix the {device} in the {room}?",
    "Proofread my thesis on {topic}.",
    "Make me a sandwich with {food}.",
    "What time does my {meeting} usually end?",
    "How can I get rid of {symptom}?",
    "Who is the CEO of {company}?",
    "What's the average salary of a {job} in {country}?",
    "Is {number} a lucky number?",
    "What is the square of the largest prime below {number}?",
    "How many moons does {planet} have?",
    "What is the boiling point of {element} on {planet}?",
    "How much does a {product} weigh?",
    "List the ingredients of {dish}.",
    "Describe the taste of {food}.",
    "Which airline flies most often to {city}?",
    "Convert this song to sheet music: {song}.",
    "What color goes well with {color}?",
    "Predict tomorrow's lottery numbers.",
    "Cut my hair like {artist}.",
    "Where did {person} go to school?",
    "How do I get from {city} to {city2} by canoe?",
    "What is the phone number of {company}?",
    "Sing {song} for me.",
    "Repair my bike.",
    "Solve world hunger.",
    "How many people were born in {year}?",
    "Which gene causes {disease}?",
    "Diagnose my {symptom}.",
    "What is the current exchange rate of my stamps?",
    "Summarize the novel {book} in one line.",
    "Book me a trip to {planet}.",
    "Bring {person} some {food}.",
)


def out_of_reach(draw: Draw) -> str:
    """A request that hardly any tool serves."""
    return draw.pick(OUT_OF_REACH).format(
        country=draw.pick(w.COUNTRIES),
        topic=draw.pick(w.TOPICS),
        job=draw.pick(w.JOBS),
        animal=draw.pick(w.ANIMALS),
        food=draw.pick(w.FOODS),
        year=draw.between(1950, 2024),
        language=draw.pick(w.LANGUAGES).split("|")[0],
        artist=draw.pick(w.ARTISTS),
        person=draw.pick(w.FIRST_NAMES),
        element=draw.pick(w.ELEMENTS),
        product=draw.pick(w.PRODUCTS),
        event=draw.pick(w.EVENTS),
        number=draw.between(3, 900),
        company=draw.pick(w.COMPANIES),
        dish=draw.pick(w.DISHES),
        room=draw.pick(w.ROOMS),
        instrument=draw.pick(w.INSTRUMENTS),
        sport=draw.pick(w.SPORTS),
        plant=draw.pick(w.PLANTS),
        city=draw.pick(w.CITIES),
        city2=draw.pick(w.CITIES),
        device=draw.pick(w.DEVICES),
        meeting=draw.pick(w.MEETINGS),
        symptom=draw.pick(w.SYMPTOMS),
        planet=draw.pick(w.PLANETS),
        song=draw.pick(w.SONGS),
        color=draw.pick(w.COLORS),
        disease=draw.pick(w.DISEASES),
        book=draw.pick(w.BOOKS),
    )


SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant with access to tools.",
    "You are an assistant that calls functions when they help.",
    "Use the tools when needed. If no tool fits, say so.",
    "You are {name}, the assistant of {company}.",
    "Answer briefly.",
    "You are a careful assistant. Ask for missing values instead of guessing.",
    "You help the users of {company} with their requests.",
    "You are an expert in composing function calls.",
    "Be polite and short.",
    "You are a voice assistant.",
    "Respond in the language of the user.",
)


def system_prompt(draw: Draw) -> str:
    """One of a dozen."""
    return draw.pick(SYSTEM_PROMPTS).format(name=draw.pick(w.FIRST_NAMES), company=draw.pick(w.COMPANIES))


_STORY = (
    "I met {person} in {city} in {year}.",
    "We have {number} {animals} at home.",
    "The {product} cost me ${number}.",
    "My flight landed at {hour}:15.",
    "{person} works as a {job} at {company}.",
    "It was {number} degrees outside.",
    "The {room} is {number} square meters large.",
    "I read {book} twice.",
    "Our office is on the {floor} floor.",
    "I listen to {artist} a lot.",
    "{company} sold {number} million units last year.",
    "The train from {city} to {city2} was late by {floor} minutes.",
    "My neighbour plays the {instrument}.",
    "There were {number} people in the queue.",
    "{person} paid with {number} euros.",
    "I grow {plants} in the {room}.",
    "The recipe needs {floor} cups of {food}.",
    "We talked about {topic} for an hour.",
    "She was born in {year} in {country}.",
    "The new {product} is {color}.",
    "My doctor said it is not {disease}.",
    "I have {floor} meetings tomorrow.",
)


def story(draw: Draw) -> str:
    """Some sentences full of names and numbers that the request does not need."""
    parts = [
        draw.pick(_STORY).format(
            person=draw.pick(w.FIRST_NAMES),
            city=draw.pick(w.CITIES),
            city2=draw.pick(w.CITIES),
            year=draw.between(1950, 2024),
            number=draw.between(3, 900),
            animals=plural(draw.pick(w.ANIMALS)),
            product=draw.pick(w.PRODUCTS),
            hour=draw.between(6, 22),
            job=draw.pick(w.JOBS),
            company=draw.pick(w.COMPANIES),
            room=draw.pick(w.ROOMS),
            book=draw.pick(w.BOOKS),
            floor=draw.between(2, 30),
            artist=draw.pick(w.ARTISTS),
            instrument=draw.pick(w.INSTRUMENTS),
            plants=plural(draw.pick(w.PLANTS)),
            food=draw.pick(w.FOODS),
            topic=draw.pick(w.TOPICS),
            country=draw.pick(w.COUNTRIES),
            color=draw.pick(w.COLORS),
            disease=draw.pick(w.DISEASES),
        )
        for _ in range(draw.between(2, 5))
    ]
    return " ".join(parts)
