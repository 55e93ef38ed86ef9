"""The text that passes are calibrated on unless another is given: short, mixed, and the same on every machine.

`CALIBRATION_TURNS` are for models with a chat template, in which they are put: what such a model is used for, and
tokens (those that open and close a turn) that no plain text holds.

It was written for this purpose, so that no text on which quality is measured has been seen in calibration. Prose,
dialogue, instructions, figures, code and a few other languages, because what matters is which features of a layer
are large, and that differs by kind of text.
"""

from __future__ import annotations

CALIBRATION_TEXT = '''\
The ferry left the island a little after six, when the light was still grey and the gulls had not yet settled on the \
pier. Marta stood at the rail with her collar up and counted the houses along the shore, as she had done every summer \
since she was a child. There were forty-one of them now. Two had lost their roofs in the January storm, and one, the \
yellow house near the lighthouse, had a sign in the window that she could not read from so far away.

"You will miss it," said the man beside her. "Everybody does, for a week or two."

"And after that?"

"After that you remember the wind, and you stop missing it." He laughed and offered her half of his sandwich.

To replace the filter, switch off the pump and wait until the pressure gauge shows zero. Unscrew the four bolts on the \
cover, beginning with the one on the left, and lift it straight up. Rinse the housing with clean water. Put in the new \
filter with the arrow pointing towards the outlet, tighten the bolts crosswise to 12 Nm, and run the pump for five \
minutes. If you see bubbles in the glass, repeat the last step; do not open the cover while the pump is warm.

The harvest of 1987 came to 3,420 tonnes, 14.6 % less than the year before, but prices rose from $212 to $268 a tonne, \
so that most growers earned slightly more. By 1993 the picture had changed: three wet springs in a row, a new road to \
the coast, and cheaper grain from abroad left fewer than 600 of the 1,150 farms in business.

def moving_average(values, window):
    """Mean of the last `window` values at each position."""
    total, result = 0.0, []
    for i, value in enumerate(values):
        total += value
        if i >= window:
            total -= values[i - window]
        result.append(total / min(i + 1, window))
    return result

SELECT name, COUNT(*) AS visits FROM guests WHERE arrived >= '2019-05-01' GROUP BY name ORDER BY visits DESC;

User: Can you explain why the sky is blue, in two sentences?
Assistant: Sunlight holds all colours, and the molecules of the air scatter short waves, which we see as blue, far \
more strongly than long ones. So blue light reaches our eyes from every direction, while red and yellow pass on.

User: Write three names for a bakery.
Assistant: 1. The Quiet Oven  2. Crumb and Kettle  3. Half Past Flour

A cell membrane is a double layer of lipids in which proteins float. Small molecules without charge, such as oxygen, \
pass through it freely; ions and sugars need a channel or a carrier. Because the concentration of potassium is high \
inside and that of sodium outside, a voltage of about -70 mV stands across the membrane of a resting nerve cell. When \
the channels for sodium open, it collapses within a millisecond, and the signal runs along the fibre.

Let x and y be positive numbers with x + y = 10. Their product is x(10 - x) = 25 - (x - 5)^2, so it is largest when \
x = y = 5, and then it equals 25. The same argument shows that of all rectangles with a given perimeter the square has \
the greatest area.

The court held that the notice, although late, had been given in good faith. It did not follow, the judge wrote, that \
the tenant was free of every duty under the lease; but the landlord, who had accepted rent for eleven months without \
a word, could not now rely on a clause that he himself had ignored.

Am Morgen war der Hof voller Schnee, und die Kinder suchten ihre Handschuhe. Le train de huit heures est parti sans \
nous, mais il y en a un autre à dix heures et demie. La abuela guardaba las cartas en una caja de lata, debajo de la \
cama. 明日は雨が降るそうです。

Dear Mr Okafor, thank you for your letter of 3 March. We are sorry to hear that the second parcel arrived damaged. A \
replacement (order no. 77-1043-B) was sent this morning and should reach you by Thursday; there is nothing to pay. \
Please keep the broken lamp until our driver collects it. Yours sincerely, Helen Brandt, Customer Service
'''

CALIBRATION_TURNS = (
    (
        "How do I boil an egg so that the yolk stays soft?",
        "Put the egg into boiling water for six minutes, then into cold water for one minute. Peel it under a thin "
        "stream of water.",
    ),
    (
        "Write a short note to my neighbour about the noise.",
        "Dear neighbour, on Tuesday evening the music was loud until after midnight. Could you turn it down from ten "
        "o'clock on? Thank you, Anna",
    ),
    ("What is 17 times 6?", "17 times 6 is 102."),
    ("Translate 'good morning' into German and Spanish.", "German: Guten Morgen. Spanish: Buenos días."),
    (
        "Give me a list of three things to pack for a hike.",
        "1. Water and something to eat\n2. A rain jacket\n3. A map of the area",
    ),
    (
        "Who painted the ceiling of the Sistine Chapel?",
        "The ceiling of the Sistine Chapel was painted by Michelangelo between 1508 and 1512.",
    ),
    ("Fix this Python line: prnt('hello')", "print('hello')"),
    ("What is the capital of Portugal?", "The capital of Portugal is Lisbon."),
    (
        "Explain rain to a child.",
        "The sun warms the sea, and a little of the water goes up into the air. High up it gets cold and turns into "
        "drops, and when the drops are heavy they fall down. That is rain.",
    ),
)
"""What a user says, and the reply."""
