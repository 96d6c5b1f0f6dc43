"""Word lists the generator draws from. Plain data: grammar is in the other modules.

Lists are space or comma separated strings so that they stay short to read; values must be copied from the
request by the model, so what counts is spread of spelling, not realism.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", " ").split(",") if part.strip())


FIRST_NAMES = _words("""
Alice Bob Carlos Diana Ethan Fatima Grace Hiro Ines Jamal Karen Liam Mei Noah Olivia Priya Quentin Rosa Samuel Tara
Umar Vera Wei Ximena Yusuf Zoe Aaron Beatriz Chidi Daisuke Elena Farid Giulia Hannah Igor Julia Kofi Lena Marco Nadia
Oscar Paula Rahul Sofia Tomas Ursula Viktor Wanda Yuki Zara Amara Bruno Camille Dmitri Esther Felix Gloria Henrik Isla
Jonas Kiran Lucia Mateo Nina Omar Petra Ravi Selma Theo Una Vincent Willa Yara Zach Anders Bella Callum Dorothy Emil
Frida Gavin Helga Ivan Joanna Kai Leila Miguel Nora Otto Penelope Rafael Sana Tobias Violet Walter Ada Boris Cleo Dev
Edith Farah Gustav Hector Imani Jasper Kenji Lorenzo Margaux Nikolai Odette Pablo Rania Silas Tamsin Ulrich Valentina
""")
LAST_NAMES = _words("""
Smith Garcia Chen Okafor Müller Rossi Tanaka Kowalski Patel Johansson Silva Nguyen Haddad O'Brien Dubois Ivanov Kim
Andersson Moreau Schmidt Lopez Adeyemi Yamamoto Novak Rahman Fischer Costa Petrov Larsen Mensah Hoffmann Ricci Park
Castillo Bergström Ahmed Walker Nakamura Santos Weber Lindqvist Osei Marino Dvořák Khan Murphy Sato Fernández Keller
Baker Thompson Reyes Hughes Vargas Stone Whitfield Bianchi Lund Abbott Zhang Mbeki Carvalho Eriksen Doyle Romero Katz
Sharma Lindgren Pereira Vogel Sinclair Ortega Hayashi Bellamy Crane Dalton Everett Fleming Goddard Holloway Ibarra
""")
CITIES = _phrases("""
Paris, London, Tokyo, New York, Berlin, Madrid, Rome, Sydney, Toronto, Chicago, Boston, Seattle, San Francisco,
Los Angeles, Miami, Denver, Austin, Dallas, Houston, Phoenix, Portland, Atlanta, Philadelphia, Montreal, Vancouver,
Mexico City, Lima, Bogotá, Buenos Aires, Santiago, São Paulo, Rio de Janeiro, Lisbon, Porto, Barcelona, Valencia,
Seville, Lyon, Marseille, Nice, Brussels, Amsterdam, Rotterdam, Hamburg, Munich, Cologne, Frankfurt, Vienna, Zurich,
Geneva, Milan, Venice, Florence, Naples, Athens, Istanbul, Ankara, Warsaw, Kraków, Prague, Budapest, Bucharest, Sofia,
Belgrade, Zagreb, Ljubljana, Oslo, Bergen, Stockholm, Gothenburg, Copenhagen, Aarhus, Helsinki, Tallinn, Riga,
Vilnius, Kyiv, Dublin, Cork, Edinburgh, Glasgow, Manchester, Leeds, Bristol, Cardiff, Cairo, Casablanca, Tunis, Lagos,
Accra, Nairobi, Kampala, Addis Ababa, Dakar, Cape Town, Johannesburg, Durban, Dubai, Doha, Riyadh, Amman, Beirut,
Tel Aviv, Tehran, Karachi, Lahore, Mumbai, Delhi, Bangalore, Chennai, Kolkata, Hyderabad, Kathmandu, Dhaka, Colombo,
Bangkok, Hanoi, Jakarta, Manila, Singapore, Kuala Lumpur, Hong Kong, Taipei, Seoul, Busan, Osaka, Kyoto, Sapporo,
Beijing, Shanghai, Shenzhen, Chengdu, Melbourne, Brisbane, Perth, Adelaide, Auckland, Wellington, Honolulu, Anchorage,
Reykjavik, Havana, Quito, La Paz, Montevideo, Salt Lake City, San Diego, New Orleans, Minneapolis, Kansas City
""")
US_CITIES = _phrases("""
San Francisco|CA, Los Angeles|CA, San Diego|CA, Fresno|CA, Seattle|WA, Spokane|WA, Portland|OR, Eugene|OR, Austin|TX,
Dallas|TX, El Paso|TX, Denver|CO, Boulder|CO, Chicago|IL, Peoria|IL, Boston|MA, Salem|MA, Albany|NY, Buffalo|NY,
Miami|FL, Tampa|FL, Orlando|FL, Atlanta|GA, Savannah|GA, Phoenix|AZ, Tucson|AZ, Reno|NV, Las Vegas|NV, Omaha|NE,
Nashville|TN, Memphis|TN, Detroit|MI, Lansing|MI, Cleveland|OH, Columbus|OH, Pittsburgh|PA, Newark|NJ, Richmond|VA,
Raleigh|NC, Madison|WI, Fargo|ND, Boise|ID, Helena|MT, Honolulu|HI, Juneau|AK, Santa Fe|NM, New Orleans|LA, Mobile|AL
""")
COUNTRIES = _phrases("""
France, Germany, Italy, Spain, Portugal, Brazil, Argentina, Chile, Peru, Mexico, Canada, Japan, China, India, Nepal,
South Korea, Vietnam, Thailand, Indonesia, Australia, New Zealand, Egypt, Morocco, Kenya, Nigeria, Ghana, South Africa,
Sweden, Norway, Finland, Denmark, Iceland, Ireland, Poland, Hungary, Romania, Greece, Turkey, Austria, Switzerland,
Belgium, the Netherlands, Ukraine, Estonia, Cuba, Ecuador, Bolivia, Uruguay, Colombia, Philippines, Malaysia,
Saudi Arabia, Qatar, Jordan, Israel, Ethiopia, Tanzania, Senegal, Mongolia, Sri Lanka, Croatia, Serbia, Latvia
""")
COUNTRY_CODES = _phrases("""
France|FR, Germany|DE, Italy|IT, Spain|ES, Portugal|PT, Brazil|BR, Mexico|MX, Canada|CA, Japan|JP, China|CN, India|IN,
Australia|AU, Sweden|SE, Norway|NO, Poland|PL, Greece|GR, Turkey|TR, Ireland|IE, Egypt|EG, Kenya|KE
""")
LANGUAGES = _phrases("""
English|en, French|fr, German|de, Spanish|es, Italian|it, Portuguese|pt, Japanese|ja, Chinese|zh, Korean|ko,
Russian|ru, Arabic|ar, Hindi|hi, Dutch|nl, Swedish|sv, Polish|pl, Turkish|tr, Greek|el, Finnish|fi, Danish|da, Thai|th
""")
CURRENCIES = _phrases("""
US dollars|USD, euros|EUR, British pounds|GBP, Japanese yen|JPY, Swiss francs|CHF, Canadian dollars|CAD,
Australian dollars|AUD, Indian rupees|INR, Chinese yuan|CNY, Mexican pesos|MXN, Swedish kronor|SEK, Brazilian reais|BRL
""")
COMPANIES = _phrases("""
Apple, Google, Microsoft, Tesla, Amazon, Siemens, Toyota, Samsung, Nestlé, Unilever, Netflix, Intel, Nvidia, Boeing,
Airbus, Ikea, Spotify, Adidas, Nike, Sony, Shell, Pfizer, Novartis, Bosch, Volvo, Acme Corp, Globex, Initech,
Northwind Traders, Blue Harbor LLC, Vertex Labs, Orchid Systems, Kestrel Logistics, Pinecrest Foods, Ridgeway Partners,
Solstice Energy, Tidewater Bank, Umbra Studios, Willow & Sons, Zenith Motors, Cobalt Analytics, Maple Leaf Dairy,
Ironclad Security, Juniper Textiles, Lumen Health, Nimbus Air, Oakfield Press, Quarry Stone Co, Red Panda Games
""")
TICKERS = _words(
    "AAPL MSFT GOOG TSLA AMZN NVDA META NFLX IBM ORCL INTC AMD KO PEP DIS JPM BAC GS XOM CVX PFE MRK BA GE F "
    "GM T VZ NKE SBUX UBER LYFT SHOP SQ PYPL CRM ADBE QCOM TXN HON UPS FDX WMT TGT COST HD LOW MCD ABNB"
)
PLACES = _phrases("""
Central Park, Eiffel Tower, the airport, Golden Gate Bridge, Union Station, the town hall, Louvre Museum, Times Square,
Hyde Park, Big Ben, Alexanderplatz, Shibuya Crossing, Lake Tahoe, Yosemite National Park, Mount Fuji, Niagara Falls,
the old harbor, Riverside Mall, St. Mary's Hospital, Terminal 2, 221B Baker Street, 10 Downing Street,
48 Elm Street, 1600 Maple Avenue, 7 Rue de la Paix, 15 Kings Road, 902 Sunset Boulevard, Plaza Mayor, Piazza Navona
""")
STREETS = _phrases("""
Main Street, Oak Avenue, Maple Drive, Elm Street, Pine Road, Cedar Lane, Lake View Drive, Hill Road, High Street,
Station Road, Church Street, Mill Lane, King's Road, Harbor Way, Sunset Boulevard, River Street, Park Avenue
""")
RESTAURANTS = _phrases("""
The Golden Fork, Bella Notte, Sakura Garden, Chez Marcel, El Toro Loco, Blue Lagoon, The Rusty Spoon, Spice Route,
Pasta Palace, Olive & Thyme, Dragon Wok, La Petite Maison, Burger Barn, Green Leaf, Casa Verde, The Hungry Bear,
Noodle House, Taj Mahal, Harbor Grill, Trattoria Da Luca, Smoke & Ember, The Copper Pot, Lotus Kitchen
""")
HOTELS = _phrases("""
Grand Plaza Hotel, Hilton Garden Inn, Seaside Resort, Hotel Aurora, The Ritz, Mountain View Lodge, City Center Inn,
Hotel Miramar, Palm Court, Lakeside Retreat, The Langham, Harbor House, Park Hyatt, Sunrise Suites, Villa Rosa
""")
CUISINES = _words(
    "Italian Mexican Japanese Chinese Indian Thai French Greek Korean Vietnamese Lebanese Ethiopian Spanish "
    "Turkish Peruvian Moroccan vegan vegetarian seafood Mediterranean"
)
DISHES = _phrases("""
margherita pizza, chicken tikka masala, pad thai, beef tacos, ramen, caesar salad, sushi platter, lasagna, falafel wrap,
mushroom risotto, fish and chips, veggie burger, pho, paella, pancakes, tomato soup, dumplings, grilled salmon,
cheesecake, tiramisu, apple pie, garlic bread, spring rolls, lentil curry, shakshuka, greek salad, banana bread
""")
FOODS = _words(
    "tomatoes onions rice pasta chicken eggs milk butter cheese spinach carrots potatoes garlic basil flour sugar "
    "honey lentils tofu salmon shrimp apples bananas avocado mushrooms yogurt oats beans zucchini ginger lemons"
)
PRODUCTS = _phrases("""
wireless headphones, coffee maker, running shoes, desk lamp, yoga mat, water bottle, laptop stand, backpack,
mechanical keyboard, gaming mouse, rain jacket, electric kettle, bookshelf, office chair, phone case, smart watch,
camping tent, frying pan, USB-C cable, bluetooth speaker, sunglasses, wool scarf, hiking boots, standing desk,
air purifier, toaster oven, winter coat, leather wallet, garden hose, cordless drill, paint brushes, tripod
""")
SONGS = _phrases("""
Bohemian Rhapsody, Imagine, Billie Jean, Hotel California, Yesterday, Smells Like Teen Spirit, Hey Jude, Purple Rain,
Wonderwall, Clocks, Rolling in the Deep, Shape of You, Blinding Lights, Hallelujah, Africa, Midnight City, Take Five,
So What, Clair de Lune, La Vie en Rose, Bésame Mucho, Riptide, Dancing Queen, Electric Feel
""")
ARTISTS = _phrases("""
Taylor Swift, The Beatles, Miles Davis, Beyoncé, Radiohead, Daft Punk, Adele, Bob Dylan, Queen, Nina Simone, Coldplay,
Kendrick Lamar, Björk, Fleetwood Mac, Billie Eilish, Johnny Cash, Pink Floyd, Stevie Wonder, Rosalía, BTS, Mozart,
Beethoven, Chopin, Metallica, Amy Winehouse, David Bowie, Arctic Monkeys, Shakira
""")
GENRES = _words(
    "rock jazz pop classical hip-hop country electronic blues reggae metal folk indie ambient soul techno funk disco"
)
MOVIES = _phrases("""
The Godfather, Inception, Spirited Away, Casablanca, Jurassic Park, The Matrix, Parasite, Amélie, Toy Story, Titanic,
Blade Runner, Interstellar, Get Out, La La Land, Mad Max: Fury Road, The Lion King, Arrival, Whiplash, Seven Samurai
""")
BOOKS = _phrases("""
1984, Pride and Prejudice, The Great Gatsby, Moby Dick, Dune, To Kill a Mockingbird, The Hobbit, War and Peace,
Don Quixote, Brave New World, The Odyssey, Crime and Punishment, Frankenstein, Jane Eyre, The Alchemist, Beloved,
One Hundred Years of Solitude, The Name of the Rose, A Brief History of Time, Sapiens
""")
SPORTS = _words(
    "soccer basketball tennis baseball hockey volleyball cricket rugby golf swimming badminton handball cycling"
)
TEAMS = _phrases("""
Los Angeles Lakers, Golden State Warriors, Manchester United, Real Madrid, FC Barcelona, Chicago Bulls, Boston Celtics,
Bayern Munich, Liverpool, Juventus, Arsenal, Ajax, New York Yankees, Toronto Raptors, Miami Heat, Dallas Cowboys,
Green Bay Packers, Paris Saint-Germain, Boca Juniors, Celtic
""")
TOPICS = _phrases("""
climate change, artificial intelligence, renewable energy, the stock market, space exploration, electric cars,
remote work, mental health, quantum computing, urban gardening, ancient Rome, the French Revolution, deep learning,
coffee brewing, supply chains, cybersecurity, wildlife conservation, jazz history, black holes, sleep hygiene,
inflation, gene editing, football transfers, minimalist design, plastic recycling, the Silk Road, solar panels,
digital privacy, vaccine research, marathon training, sourdough baking, medieval castles, coral reefs, microplastics
""")
EVENTS = _phrases("""
World War II, the fall of the Berlin Wall, the Moon landing, the French Revolution, the Battle of Hastings,
the signing of the Magna Carta, the Great Fire of London, the Cuban Missile Crisis, the Treaty of Versailles,
the Boston Tea Party, the Battle of Waterloo, the American Civil War
""")
MEETINGS = _phrases("""
team sync, budget review, dentist appointment, project kickoff, yoga class, lunch with Anna, board meeting,
parent-teacher conference, design review, job interview, piano lesson, quarterly planning, birthday dinner, haircut,
sales call, code review, book club, marketing standup, car inspection, product demo, one-on-one, gym session
""")
TASKS = _phrases("""
buy groceries, call the plumber, finish the report, water the plants, pay the electricity bill, renew my passport,
clean the garage, send the invoice, walk the dog, book flights, update the slides, back up the server, pick up the kids,
order printer paper, review the contract, fix the leaking tap, prepare the agenda, return the library books
""")
MESSAGES = _phrases("""
I'll be ten minutes late, the meeting is moved to Thursday, happy birthday, can you pick up some milk,
thanks for your help yesterday, the package has arrived, see you at the station, please review the attached draft,
we are out of coffee, the server is back online, don't forget the keys, dinner is ready, let's reschedule,
your order has shipped, the results look great, I can't make it tonight, call me when you land, good luck with the exam
""")
DISEASES = _phrases("""
diabetes, asthma, hypertension, migraine, influenza, anemia, arthritis, bronchitis, eczema, celiac disease, malaria,
pneumonia, osteoporosis, hypothyroidism, tuberculosis
""")
MEDICINES = _words(
    "ibuprofen paracetamol amoxicillin metformin lisinopril atorvastatin omeprazole cetirizine warfarin insulin"
)
SYMPTOMS = _phrases(
    "fever, headache, sore throat, fatigue, nausea, dizziness, back pain, cough, rash, chest pain, insomnia"
)
ELEMENTS = _words(
    "hydrogen helium carbon nitrogen oxygen sodium magnesium aluminum silicon sulfur chlorine potassium calcium "
    "iron copper zinc silver tin iodine gold mercury lead uranium neon argon"
)
COMPOUNDS = _words("H2O CO2 NaCl C6H12O6 CH4 NH3 H2SO4 HCl CaCO3 NaOH C2H5OH O2 KMnO4 Fe2O3")
GENES = _words("BRCA1 TP53 EGFR CFTR APOE MYC KRAS HBB FOXP2 PTEN BRAF HER2")
SPECIES = _phrases(
    "Homo sapiens, Mus musculus, Panthera leo, Canis lupus, Escherichia coli, Danio rerio, Quercus robur"
)
ANIMALS = _words(
    "lion elephant penguin tiger zebra giraffe wolf otter falcon dolphin tortoise rabbit panda koala hedgehog salmon"
)
PLANTS = _words(
    "rose tulip orchid fern cactus basil lavender monstera sunflower oak maple bamboo ivy jasmine peony"
)
PLANETS = _words("Mercury Venus Mars Jupiter Saturn Uranus Neptune Pluto Earth")
STARS = _phrases(
    "Sirius, Betelgeuse, Vega, Polaris, Rigel, Proxima Centauri, Andromeda, Orion Nebula, Antares, Alpha Centauri"
)
INSTRUMENTS = _words(
    "guitar piano violin drums cello flute trumpet saxophone clarinet harp ukulele accordion"
)
COLORS = _words(
    "red blue green yellow black white orange purple pink gray brown turquoise teal crimson beige navy"
)
MATERIALS = _words(
    "steel copper wood glass plastic concrete aluminum brick rubber leather cotton granite marble brass"
)
ROOMS = _phrases(
    "living room, kitchen, bedroom, bathroom, hallway, garage, office, dining room, guest room, basement, attic, nursery"
)
DEVICES = _phrases(
    "ceiling light, thermostat, floor lamp, coffee machine, garage door, front door lock, fan, heater, TV, vacuum, sprinkler"
)
JOBS = _phrases(
    "software engineer, data analyst, nurse, electrician, graphic designer, project manager, accountant, teacher, "
    "chef, mechanical engineer, sales representative, librarian, pharmacist, welder, UX researcher"
)
SKILLS = _phrases(
    "Python, project management, welding, SQL, public speaking, Java, photoshop, negotiation, copywriting, React, Excel"
)
SUBJECTS = _words(
    "mathematics physics biology chemistry history geography literature economics philosophy music statistics"
)
CARS = _phrases(
    "Toyota Camry, Honda Civic, Ford Mustang, Tesla Model 3, BMW X5, Audi A4, Fiat 500, Volvo XC60, Mazda CX-5, Kia Soul"
)
AIRLINES = _phrases(
    "Lufthansa, Delta, Emirates, Air France, Qantas, Ryanair, United, KLM, ANA, Iberia, Swiss, LATAM"
)
AIRPORTS = _words(
    "JFK LAX LHR CDG FRA AMS MAD BCN FCO ZRH VIE CPH ARN OSL HEL DUB SFO SEA ORD BOS MIA ATL DFW DEN HND NRT ICN SIN HKG DXB SYD GRU"
)
GAMES = _phrases(
    "Minecraft, The Legend of Zelda, Chess, Tetris, Fortnite, Stardew Valley, Super Mario Odyssey, Elden Ring, Catan, Portal 2, Hades"
)
CRYPTO = _words("Bitcoin Ethereum Solana Dogecoin Litecoin Cardano Polkadot Ripple")
TABLES = _words(
    "users orders customers products invoices payments sessions employees inventory logs events students shipments tickets"
)
COLUMNS = _words(
    "id name email age status created_at price quantity country city amount score category updated_at salary rating"
)
MODELS = _phrases(
    "random forest, logistic regression, linear regression, decision tree, support vector machine, k-nearest neighbors, "
    "gradient boosting, naive Bayes, neural network"
)
COURTS = _phrases(
    "Supreme Court, District Court, Court of Appeals, High Court, Family Court, Tax Court, Superior Court"
)
CASES = _phrases(
    "Doe v. Hartman, Miller v. Oakridge, Brown v. Northern Rail, Lopez v. State, Acme Corp. v. Globex, In re Fairview"
)
PAINTINGS = _phrases(
    "Mona Lisa, The Starry Night, Guernica, The Scream, Girl with a Pearl Earring, Water Lilies, The Kiss, Las Meninas"
)
PAINTERS = _phrases(
    "Vincent van Gogh, Claude Monet, Frida Kahlo, Pablo Picasso, Rembrandt, Leonardo da Vinci, Edvard Munch, Hokusai"
)
HASHTAGS = _words("#sunset #travel #foodie #coding #fitness #ai #throwback #nature #music #launchday")
TAGS = _words(
    "urgent work home personal finance health travel ideas draft archived review shopping school family backend bug"
)
UNICODE_NAMES = _phrases("""
李伟, 王芳, 山田太郎, 佐藤花子, 김민준, 이서연, Алексей Смирнов, Мария Кузнецова, محمد علي, فاطمة حسن, राहुल शर्मा, Γιώργος Παπάς, José Núñez,
Łukasz Żak, Søren Ørsted, Zoë Kravčík, İbrahim Çelik, Nguyễn Văn An, สมชาย ใจดี, אבי כהן
""")
UNICODE_CITIES = _phrases(
    "北京, 上海, 東京, 大阪, 서울, 부산, Москва, Киев, القاهرة, دبي, दिल्ली, Αθήνα, Köln, Zürich, Malmö, Kraków, Đà Nẵng, กรุงเทพ, תל אביב"
)
UNICODE_TEXTS = _phrases("""
你好世界, 明天见, こんにちは、元気ですか, ありがとうございます, 안녕하세요, Привет как дела, до свидания, مرحبا بالعالم, नमस्ते दुनिया, Καλημέρα, Où est la gare ?,
¿Dónde está la biblioteca?, Ich hätte gern einen Kaffee, Buongiorno a tutti, Obrigado pela ajuda, Tack så mycket, Dziękuję bardzo
""")
FOREIGN_TEXTS = _phrases("""
Good morning, How are you today?, Where is the train station?, I would like a cup of tea, See you tomorrow,
The weather is lovely, My name is Anna, How much does this cost?, I love reading books, Where can I buy tickets?
""")
# For composing tools that mean nothing outside their listing.
ADJECTIVES = _words("""
active amber annual backup blue broken central clean cold common cosmic custom daily dark deep digital distant double dry
early empty external fast final fixed flat foreign fresh full general global golden gray green hidden high hollow idle
initial inner internal iron lazy light linear liquid local long loose low lunar main major manual marine maximum mean
metal minor mobile modern narrow nested noisy northern odd offline open outer partial pending plain polar primary private
proper public quick quiet random rapid rare raw ready recent red regional remote rough round rural safe secondary secret
shared sharp short silent silver simple single slow smooth soft solar solid southern spare special stable static steep
sticky strict strong sweet tall temporary thermal thick thin tight total tropical upper urban vacant valid velvet verified
virtual visible warm weekly western wet whole wide wild winter wooden yellow young
""")
NOUNS = _words("""
account agenda alarm album anchor angle antenna archive arrow asset atlas badge ballot band barrel basket battery beacon
beam bench blanket block board boiler bolt bottle box bracket branch brick bridge bucket budget buffer building bundle
buoy cabin cable cache camera canal candle canvas capsule card cargo carpet catalog chain chamber channel chart circuit
claim clock cloud cluster coin column comet compass console contract counter coupon course crate crystal curtain cycle
dashboard deck delivery desk diary dome door drawer drone engine envelope escrow factory feed fence ferry field filter
flag flask fleet floor folder forest forge form fountain frame frequency furnace garden gate gauge gear glacier glove
grain grant graph grid group guide hammer harbor hatch hedge helmet hinge hive horn hose hub index inbox inlet island
jacket jar journal junction kernel kettle key kiln kiosk ladder lamp lane lantern lattice layer leaf ledger lens lever
license lid line list locker log loom lot magnet mailbox mantle map marker market mask mast meadow medal membrane menu
mesh meter mill mine mirror module monitor motor mural needle nest network node notebook notice nozzle oven packet paddle
page paint palette panel parcel parcel park patch path pattern pedal permit phase pier pillar pin pipe pit pixel plan
plank plant plate platform plot pocket policy pond pool port portal post pouch press prism probe profile pulley pump
quarry queue quota rack radar raft rail ramp rate reactor receipt record reel reef region registry relay report reservoir
ribbon ring river road robot rocket roof rope roster route rudder rule sail sample satellite scale schedule scooter
screen script seal seat sensor session shaft shard shelf shell shield shift signal silo sketch slab slide slope socket
spindle spring square stack stage stamp station stem step stitch storage stream string studio sum survey switch tablet
tank tape target tariff tent terminal thread ticket tide tile timer token tower track trail trailer tray trench trial
tube tunnel turbine unit valve vault vector vessel vial village voucher wagon wall ward warehouse watch wave well wheel
widget window wing wire workshop yard zone
""")
VERBS = _phrases("""
activate, adjust, allocate, analyze, approve, archive, arrange, assign, attach, audit, balance, block, build, calibrate,
cancel, charge, check, clean, close, collect, compare, compile, configure, confirm, convert, copy, count, create, delete,
deliver, deploy, detach, disable, dispatch, duplicate, enable, encode, erase, estimate, evaluate, expand, export,
extract, fetch, filter, finish, flush, forward, freeze, generate, import, insert, inspect, install, launch, link, list,
load, lock, log, mark, measure, merge, modify, monitor, mount, move, notify, open, optimize, pack, pause, plan, print,
process, publish, pull, purge, push, query, rank, read, rebuild, record, refresh, register, reject, release, reload,
remove, rename, render, renew, repair, replace, report, request, reserve, reset, resize, restart, restore, resume,
retrieve, return, review, rotate, run, sample, save, scan, schedule, send, set, share, ship, show, sign, simulate, sort,
split, start, stop, store, submit, suspend, swap, sync, tag, test, toggle, track, transfer, trim, unlock, update, upload,
validate, verify, wash, weigh, withdraw, wrap
""")
SYLLABLES = _words(
    "ka lo mi ra ten vor zu bel dar fen gor hal ix jun kel lum mor nex ol pra qui ros sil tav ul ven wex yor zan tri "
    "ble cro dru fla gri sha thu pel nim osk ard eth ion ack ump"
)
