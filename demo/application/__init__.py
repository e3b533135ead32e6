"""What the profile `demo` deploys: a guest book in Flask over Postgres, and how its two images are made.

`app.py` is the application and `postgres.sh` how its database starts; both lie in an image and import nothing of ours.
`python -m demo.application DIR` makes the images.
"""
