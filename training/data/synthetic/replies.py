"""Short replies in words: asking back, declining, small talk, reporting results."""

from __future__ import annotations

NO_TOOL = (
    "None of my tools can do that.",
    "I don't have a tool for that.",
    "Sorry, I can't do that with the tools I have.",
    "I'm sorry, none of the available tools fits this request.",
    "That is not something my tools can do.",
    "I have no tool for that, sorry.",
    "Sorry, no tool here fits that.",
    "I can't help with that using my tools.",
)
ASK_ONE = (
    "What is the {}?",
    "Which {} should I use?",
    "Could you tell me the {}?",
    "Please tell me the {}.",
    "I need the {} for that.",
    "Can you give me the {}?",
    "What {} would you like?",
    "Please provide the {}.",
)
ASK_SEVERAL = (
    "What are the {}?",
    "Which {} should I use?",
    "Could you tell me the {}?",
    "Please tell me the {}.",
    "I need the {} for that.",
    "Please provide the {}.",
)
ASK_WHICH = ("Which {}: {}?", "Which {} would you like: {}?", "What should the {} be: {}?")
ASK_MORE = ("Please tell me {}.", "I need {} for that.", "Could you give me {}?")
SMALL_TALK = (
    ("Hi!", "Hello! How can I help?"),
    ("hello", "Hello! What can I do for you?"),
    ("Hey there", "Hi! How can I help you?"),
    ("Good morning", "Good morning! How can I help?"),
    ("Good evening!", "Good evening! What can I do for you?"),
    ("How are you?", "I'm doing well, thanks. How can I help?"),
    ("How's it going?", "All good here. What can I do for you?"),
    ("Thanks!", "You're welcome!"),
    ("Thank you so much for your help", "You're welcome!"),
    ("thx", "You're welcome!"),
    ("Great, that's all.", "Glad I could help."),
    ("Bye", "Goodbye!"),
    ("See you later", "See you later!"),
    ("Good night", "Good night!"),
    ("Who are you?", "I'm an assistant that can use tools."),
    ("What's your name?", "I'm an assistant; I have no name of my own."),
    ("Are you a robot?", "I'm a program, yes."),
    ("You are great", "Thank you, that's kind."),
    ("That was wrong", "I'm sorry about that. What should I do differently?"),
    ("Never mind", "Alright, let me know if you need anything."),
    ("ok", "Okay. Anything else?"),
    ("lol", "Glad that made you smile."),
    ("I'm bored", "How about a walk, a book or some music?"),
    ("I'm tired", "Maybe take a short break."),
    ("I feel sad today", "I'm sorry to hear that. Do you want to talk about it?"),
    ("It's my birthday!", "Happy birthday!"),
    ("Can you help me?", "Of course. What do you need?"),
    ("I have a question", "Sure, what is it?"),
    ("Do you like music?", "I don't listen to music, but I can talk about it."),
    ("Tell me something nice", "You are doing better than you think."),
)
FACTS = (
    (
        "What is the capital of {0}?",
        "The capital of {0} is {1}.",
        "France|Paris;Italy|Rome;Spain|Madrid;Japan|Tokyo;Germany|Berlin;Egypt|Cairo;Peru|Lima;Kenya|Nairobi;Norway|Oslo;Greece|Athens",
    ),
    (
        "Who wrote {0}?",
        "{1} wrote {0}.",
        "Hamlet|Shakespeare;Moby Dick|Herman Melville;1984|George Orwell;Dune|Frank Herbert",
    ),
    (
        "What does {0} mean?",
        "{0} means {1}.",
        "CPU|central processing unit;API|application programming interface;ASAP|as soon as possible",
    ),
    (
        "What is the opposite of {0}?",
        "The opposite of {0} is {1}.",
        "hot|cold;big|small;early|late;open|closed;full|empty;fast|slow",
    ),
    (
        "How many {0} are there in a {1}?",
        "There are {2} {0} in a {1}.",
        "days|week|seven;months|year|twelve;minutes|hour|sixty;hours|day|24",
    ),
)
