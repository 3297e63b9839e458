"""What the live jobs are called, and the stage that each runs: the name in progress and in wm."""

JOBS = {
    "indicators": "indicators",
    "strategies": "strategies",
    "tradepicker": "tradepicker",
    "paper-broker": "broker",
    "trading-engine": "engine",
}
